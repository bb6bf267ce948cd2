export declare function generateValidator(schemaText: string, name?: string): Promise<string>;
