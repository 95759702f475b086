"""What the scripts share. Each file says in its first line what it is for."""
