/**
 * weir in React.
 *
 * ```tsx
 * <WeirProvider options={{ url: 'https://events.example.com' }}>
 *   <Orders />
 * </WeirProvider>
 * ```
 */
export { useLatest, useStatus, useSubscription, type Sessions } from './hooks.js';
export { useWeir, WeirProvider, type WeirProviderProps } from './provider.js';
