import js from '@eslint/js';
import typed from 'typescript-eslint';

export default typed.config(
  { ignores: ['dist', 'node_modules', 'src/wire.ts', '*.config.*'] },
  js.configs.recommended,
  typed.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'max-lines': ['error', 400],
      'max-lines-per-function': ['error', 50],
      complexity: ['error', 10],
    },
  },
  { files: ['test/**'], rules: { 'max-lines-per-function': 'off' } },
);
