"""Images and voice: checked, decoded and encoded anew, kept, and shown to those who may see them."""
