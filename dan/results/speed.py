CODE = ()
TABLES = {}
FIGURES = ()
