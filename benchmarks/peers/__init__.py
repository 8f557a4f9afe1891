"""What people serve with today, rebuilt in the shape that their documents show."""
