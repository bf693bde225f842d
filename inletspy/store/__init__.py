"""PostgreSQL: the settings, and the database that holds them."""
