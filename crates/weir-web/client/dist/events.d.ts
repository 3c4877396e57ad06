/** Server-Sent Events out of pieces of text, as the HTML standard reads them. */
/** One block. `id` is that of this block, and null where it has none. */
export interface Block {
    readonly id: string | null;
    readonly event: string;
    readonly data: string;
}
/** Takes the pieces. A block without data is told for its id alone. */
export declare const parser: (told: (block: Block) => void, retry: (ms: number) => void) => (piece: string) => void;
