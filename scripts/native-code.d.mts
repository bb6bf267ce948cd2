export function copyNativeCode(directory: string): number;
