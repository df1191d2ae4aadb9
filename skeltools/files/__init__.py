"""Files of the system: durable writing, mapped arrays, HDF5, values that are cached."""
