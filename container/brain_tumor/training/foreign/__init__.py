"""Pictures that are no brain MRI, drawn; and the detector that learns to tell them from scans."""
