// Stands for react-devtools-core in the bundle: ink asks for it only when it is itself debugged.
export default { connectToDevTools() {} };
