"""WeChat Pay API v3 as a merchant's server meets it, and the wallet that pays there."""
