export declare function generateValidator(schemaText: string): Promise<string>;
