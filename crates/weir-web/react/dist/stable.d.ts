/** What is to stay the same from one render to the next. */
/** Holds what was given last, for whoever is called between renders. */
export declare function useNewest<T>(given: T): {
    readonly current: T;
};
/** Two are equal where they say the same. Of a function only counts that there is one, since each render makes it anew. */
export declare const valueOf: (given: unknown) => string;
