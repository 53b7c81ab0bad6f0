export { together } from '../../../runtime/together.ts';
