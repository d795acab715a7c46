// Neither plugin ships types that TypeScript finds.
declare module '@elizaos/plugin-bootstrap' {
  const plugin: import('@elizaos/core').Plugin;
  export default plugin;
}
declare module '@elizaos/plugin-sql' {
  const plugin: import('@elizaos/core').Plugin;
  export default plugin;
}
