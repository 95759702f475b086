"""What the scripts share. Each file says in its first line what it is for."""

from dan.threads import choose_waiting

choose_waiting()
