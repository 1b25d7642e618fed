"""What the console keeps: users, gateways, their events; SQLAlchemy on SQLite or PostgreSQL."""
