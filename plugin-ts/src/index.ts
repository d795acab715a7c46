export { plugin, plugin as default } from './eliza.ts';
