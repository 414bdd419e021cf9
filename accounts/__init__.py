"""Who someone is: phones, codes, passwords, sessions, devices, authorised doctors, patients, consent."""
