"""The seven steps from prepared data to a chosen model; decisions with their evidence."""
