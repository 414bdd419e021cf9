"""Each day's bill of the gateway, compared with our books line by line."""
