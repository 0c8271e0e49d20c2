"""Links between sites: what is measured of them, and how."""
