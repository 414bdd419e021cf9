"""What hospitals send by HL7 v2: read, held, answered."""
