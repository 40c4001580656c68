"""The database itself: connections, transactions, tables and the migrations that make them."""
