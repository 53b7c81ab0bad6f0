/**
 * `node:http` by name. An `import` of it reads every export, some of which load the whole of `fetch`
 * when they are read: 15 MB more of resident memory in a daemon that sends nothing.
 */
export const http = process.getBuiltinModule('node:http');
