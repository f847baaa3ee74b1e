// In a component there are no files to read it from.
export const page = String.raw`{{page}}`;
