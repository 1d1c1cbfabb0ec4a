"""Acts that more than one procedure is made of: the same at the site that takes over, whatever became of the other."""
