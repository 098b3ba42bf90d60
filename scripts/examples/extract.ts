/**
 * Finds the examples in documents and docstrings. Pure: from a text to the pieces of code in it.
 *
 * Law: line n of an example's code is line n of its document. What stands between is blank, so that every message of
 * the compiler and of the runtime names the right place.
 */
import ts from 'typescript';

export interface Example {
  /** The document, relative to the root. */
  readonly file: string;
  /** The line on which the code starts. */
  readonly line: number;
  readonly language: 'ts' | 'sh';
  readonly code: string;
  /** Whether it is executed, or only type-checked. */
  readonly run: boolean;
}

interface Fence {
  readonly info: readonly string[];
  readonly line: number;
  readonly body: readonly string[];
}

const opening = /^(\s*)(`{3,}|~{3,})\s*(.*)$/;

/** The fenced blocks of a Markdown text. A block in a list is indented: the indentation of its fence is removed. */
const fencesOf = (text: string): readonly Fence[] => {
  const lines = text.split('\n');
  const fences: Fence[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, indent = '', ticks = '', info = ''] = opening.exec(lines[i] ?? '') ?? [];
    if (ticks === '') continue;
    const start = i + 1;
    do i++;
    while (i < lines.length && !(lines[i] ?? '').trim().startsWith(ticks));
    const body = lines
      .slice(start, i)
      .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line.trimStart()));
    fences.push({ info: info.trim().split(/\s+/), line: start + 1, body });
  }
  return fences;
};

/** `body`, moved down to a line of its own: as many lines are put between it and the code before as that takes. */
const placed = (line: number, body: readonly string[], before = ''): string =>
  before + '\n'.repeat(line - before.split('\n').length) + body.join('\n');

/**
 * The examples of a Markdown document: ```` ```ts ````, which may be marked `continued` (it goes on from the `ts` block
 * before it) or `types-only` (checked, not executed), and ```` ```sh run ````.
 */
export const examplesInMarkdown = (file: string, text: string): readonly Example[] =>
  fencesOf(text).reduce<readonly Example[]>((examples, { info: [language, ...marks], line, body }) => {
    if (language === 'sh' && marks.includes('run'))
      return [...examples, { file, line, language, code: body.join('\n'), run: true }];
    if (language !== 'ts') return examples;
    const previous = marks.includes('continued') ? examples.findLast((e) => e.language === 'ts') : undefined;
    const code = placed(line, body, previous?.code);
    const run = !marks.includes('types-only');
    return [...examples.filter((e) => e !== previous), { file, line: previous?.line ?? line, language, code, run }];
  }, []);

/** The docstrings of a TypeScript file, as Markdown that keeps the lines of the file. */
const docstringsOf = (source: ts.SourceFile): readonly string[] => {
  const found = new Map<number, string>();
  const visit = (node: ts.Node): void => {
    for (const { pos, end } of ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? []) {
      const comment = source.text.slice(pos, end);
      if (!comment.startsWith('/**')) continue;
      const body = comment
        .slice(3, -2)
        .split('\n')
        .map((line) => line.replace(/^\s*\* ?/, ''));
      found.set(pos, placed(source.getLineAndCharacterOfPosition(pos).line + 1, body));
    }
    node.getChildren(source).forEach(visit);
  };
  visit(source);
  return [...found.values()];
};

/** What follows each `@example`, up to the next tag; the other lines are blank. */
const exampleSections = (docstring: string): readonly string[] => {
  const lines = docstring.split('\n');
  const tags = lines.flatMap((line, i) => (/^\s*@\w/.test(line) ? [i] : []));
  return tags
    .filter((i) => /^\s*@example\b/.test(lines[i] ?? ''))
    .map((i) => placed(i + 2, lines.slice(i + 1, tags.find((next) => next > i) ?? lines.length)));
};

/** The examples in the docstrings of a TypeScript file: the `ts` blocks below an `@example`, or all of it if none. */
export const examplesInSource = (file: string, text: string): readonly Example[] =>
  docstringsOf(ts.createSourceFile(file, text, ts.ScriptTarget.Latest))
    .flatMap(exampleSections)
    .flatMap((section) => {
      if (fencesOf(section).length > 0) return examplesInMarkdown(file, section);
      const line = section.split('\n').findIndex((l) => l.trim() !== '') + 1;
      return [{ file, line, language: 'ts', code: section, run: true } satisfies Example];
    });
