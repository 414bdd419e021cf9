"""Full text over sealed messages, by keyed pairs of characters."""
