"""A hospital: a FHIR R4 server, a DICOMweb server, and believable patients, made from their identity numbers."""
