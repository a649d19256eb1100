"""How the objects of an archive are named: one small reader a layout."""
