"""Code that the scripts share. The first line of each file says what it is for."""
