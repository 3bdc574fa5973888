"""What operators and orchestrators do to the server through the tablet: statements and status."""
