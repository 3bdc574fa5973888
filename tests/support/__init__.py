"""What the tests stand on: real servers, waiting without sleeping, stand-ins for clocks."""
