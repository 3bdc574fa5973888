"""Tools in processes of their own: started, watched, ended, and found again by a later daemon."""
