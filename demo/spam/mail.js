/** From a raw mail to the words that its reader sees: no headers, no markup, no encodings, nothing that addresses a person. */

/** @typedef {{ type: string, encoding: string, charset: string, boundary: string | undefined, body: string }} Part */

/** @param {string} bytes one character a byte */
const unquote = (bytes) =>
  bytes
    .replace(/=[ \t]*\n/g, '')
    .replace(/=([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));

/** @param {string} bytes */
const unbase64 = (bytes) => Buffer.from(bytes, 'base64').toString('latin1');

/** Headers and body of a mail, or of a part of one. @param {string} bytes @returns {Part} */
const parse = (bytes) => {
  const end = bytes.indexOf('\n\n');
  const headers = (end < 0 ? bytes : bytes.slice(0, end)).replace(/\n[ \t]+/g, ' ');
  /** @param {RegExp} pattern */
  const find = (pattern) => pattern.exec(headers)?.[1];
  const contentType = find(/^content-type:(.*)$/im) ?? '';
  /** @param {string} name */
  const setting = (name) => new RegExp(`${name}\\s*=\\s*"?([^";]+)`, 'i').exec(contentType)?.[1]?.trim();
  return {
    type: /^\s*([\w-]+\/[\w.+-]+)/.exec(contentType)?.[1]?.toLowerCase() ?? 'text/plain',
    encoding: find(/^content-transfer-encoding:\s*([\w-]+)/im)?.toLowerCase() ?? '',
    charset: setting('charset') ?? '',
    boundary: setting('boundary'),
    body: end < 0 ? '' : bytes.slice(end + 2),
  };
};

/** The bytes as text. What names no known set of characters is read as Western European. @param {Part} part */
const textOf = ({ encoding, charset, body }) => {
  const decoded = encoding === 'base64' ? unbase64(body) : encoding === 'quoted-printable' ? unquote(body) : body;
  const bytes = Buffer.from(decoded, 'latin1');
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
};

const entities = { nbsp: ' ', amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", copy: '(c)', reg: '(r)' };

/** @param {string} whole @param {string} name */
const entity = (whole, name) => {
  const number = /^#x[0-9a-f]+$/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
  if (name.startsWith('#')) return number > 0 && number < 0x10000 ? String.fromCharCode(number) : ' ';
  return entities[/** @type {keyof typeof entities} */ (name.toLowerCase())] ?? whole;
};

/** Words go on across tags such as `<b>`, and end at all that stand for a block. @param {string} html */
const withoutTags = (html) =>
  html
    .replace(/<!--[\s\S]*?-->/g, '')
    .replace(/<(style|script|title)\b[\s\S]*?<\/\1\s*>/gi, ' ')
    .replace(/<\/?(br|p|div|t[rdh]|table|li|ul|ol|h\d|hr|center|body|blockquote|option|img|input)\b[^>]*>/gi, ' ')
    .replace(/<\/?[a-z!][^>]*(>|$)/gi, '')
    .replace(/&(#x?[0-9a-f]+|\w+);?/gi, entity);

/** Where what was written ends and what was quoted, signed or added by a list begins. */
const endings = [
  /^-- ?$/m,
  /^[-_=*]{3,} ?(BEGIN PGP SIGNATURE|Original Message|Forwarded Message|Yahoo! Groups Sponsor).*$/im,
  /^(To unsubscribe from this|Your use of Yahoo! Groups|This sf\.net email is sponsored by|Do You Yahoo!\?).*$/im,
  /^.*\b(mailing list|unsubscription information).*$/im,
];

/** A ruled line ends a mail as well, if it is not at its beginning. */
const rule = /^[-_=*]{8,}.*$/m;
const shortest = 200;

/** Lines in which a program says where a piece of news is from. */
const origin = /^\s*(URL|Date|Hash):.*\n/;

/** @param {string} text @returns {string} */
const withoutOrigin = (text) => (origin.test(text) ? withoutOrigin(text.replace(origin, '')) : text);

/** The lines of its author: no quotations, no signature, nothing that a list of mails adds above or below. @param {string} text */
const withoutFurniture = (text) => {
  const written = endings.reduce((rest, ending) => rest.slice(0, ending.exec(rest)?.index), text);
  const ruled = rule.exec(written)?.index ?? 0;
  return withoutOrigin(ruled > shortest ? written.slice(0, ruled) : written)
    .replace(/^[-_=*]{4,}\s*$/gm, '')
    .replace(/^-----BEGIN PGP.*$/gm, '')
    .replace(/^(on|at|in|quoting|thus).*(\n.*)?\b(wrote|writes|said)\b.*:\s*$/gim, '')
    .replace(/^.*\b(wrote|writes)\b.*:\s*$/gm, '')
    .replace(/^\s*[>|:].*$/gm, '');
};

/** What a reader sees of a mail or a part. @param {Part} part @returns {string} */
const visible = (part) => {
  if (part.boundary !== undefined && part.type.startsWith('multipart/')) {
    const parts = part.body
      .split(`--${part.boundary}`)
      .slice(1)
      .map((bytes) => parse(bytes.replace(/^[ \t]*\n/, '')));
    const texts = parts.map(visible);
    const plain = texts.findIndex((text, i) => parts[i]?.type === 'text/plain' && text.trim() !== '');
    return texts[plain] ?? texts.find((text) => text.trim() !== '') ?? '';
  }
  if (!part.type.startsWith('text/')) return '';
  const text = textOf(part).replace(/\r\n?/g, '\n');
  const isHtml = part.type === 'text/html' || /<(html|body|table|font|br|p)\b[^>]*>/i.test(text);
  return withoutFurniture(isHtml ? withoutTags(text) : text);
};

/** Letters with marks become plain ones, typographic marks those of a keyboard, and the rest goes. @param {string} text */
const ascii = (text) =>
  text
    .normalize('NFKD')
    .replace(/[‘’‚´]/g, "'")
    .replace(/[“”„]/g, '"')
    .replace(/[‐-―]/g, '-')
    .replace(/[^\n -~]/g, ' ');

/** Addresses and telephone numbers, which would lead to a person or a shop. @param {string} text */
const masked = (text) =>
  text
    .replace(/[<(]?\b(?:https?|ftp|mailto):[^\s<>"]*[>)]?/gi, ' URL ')
    .replace(
      /\b(?:www\.[^\s<>"]+|(?:[\w-]+\.)+(?:com|net|org|info|biz|edu|gov|us|ie|uk|de|fr)\b(?:\/[^\s<>"]*)?)(?!@)/gi,
      (found, at) => (text[at - 1] === '@' ? found : ' URL '),
    )
    .replace(/[<(]?[\w.+$%&*=~-]+ ?@ ?[\w-]*(?:\.?[\w-]+)*[>)]?/g, ' EMAIL ')
    .replace(/[+(]?\d[\d ().\-/]{6,}\d/g, (found) =>
      /^\d{4}-\d\d-\d\d/.test(found) || found.replace(/\D/g, '').length < 9 ? found : ' PHONE ',
    )
    .replace(/\b\d{3}-\d{4}\b|\b\d{7,}\b/g, ' PHONE ')
    .replace(/\b(tel|phone|fax|mobile|cell|call)\b([ :.+]*)\d[\d -]{5,}\d/gi, '$1$2 PHONE ');

/**
 * A mail as one line of ASCII.
 *
 * @param {string} raw one character a byte
 * @returns {{ text: string, foreign: number }} `foreign` is the part of its characters that ASCII does not have
 */
export const readMail = (raw) => {
  const text = visible(parse(raw.replace(/\r\n?/g, '\n')));
  const foreign = (text.match(/[^\n\t -~]/g) ?? []).length / Math.max(1, text.length);
  const line = masked(ascii(text).replace(/\s+/g, ' '))
    .replace(/([^\w\s])\1{3,}/g, '$1$1$1')
    .replace(/(URL|EMAIL|PHONE)(\s+\1)+/g, '$1')
    .replace(/\s+/g, ' ')
    .replace(/(URL|EMAIL|PHONE) ([.,;:!?)])/g, '$1$2')
    .trim();
  return { text: line, foreign };
};
