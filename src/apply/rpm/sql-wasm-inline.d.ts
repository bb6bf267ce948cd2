/** sql.js with its WebAssembly in the same file, which is all that a bundle can hold. */
declare module 'sql.js/dist/sql-wasm-inline.js' {
  import initSqlJs from 'sql.js';
  export default initSqlJs;
}
