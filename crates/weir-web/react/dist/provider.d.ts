import { Weir, type Options } from '@weir/client';
import { type ReactElement, type ReactNode } from 'react';
/** A client of the application's own, which is never closed here, or the options of one that lives as long as the provider. */
export type WeirProviderProps = {
    readonly children?: ReactNode;
} & ({
    readonly client: Weir;
    readonly options?: never;
} | {
    readonly client?: never;
    readonly options?: Options;
});
/** Gives all that is below it one client, and with it one connection. */
export declare function WeirProvider({ client, options, children }: WeirProviderProps): ReactElement;
/** The client of the provider above. */
export declare function useWeir(): Weir;
