"""How many pods backends have: what there is to do, what follows from it, and who carries it out."""
