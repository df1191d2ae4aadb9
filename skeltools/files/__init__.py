"""Files of the system: durable writing, locks, interrupts, mapped arrays."""
