// What the page says, and how it writes numbers and times.

/**
 * @typedef {object} TaskError
 * @property {string} reason
 * @property {string} [message] KIE's own words.
 * @property {string} [retry]
 * @property {Charged} [charged]
 * @typedef {"yes" | "no" | "unknown"} Charged
 */

/** @type {Record<string, string>} */
const STATES = {
  queued: "Waiting to be sent",
  submitting: "Being sent to KIE",
  unknown: "Nobody knows whether it was started",
  wait: "Accepted by KIE",
  queueing: "Waiting in KIE’s queue",
  generating: "KIE is making the video",
  success: "Finished",
  fail: "KIE could not make it",
  expired: "KIE has deleted the video",
  rejected: "Not started",
  // Of calls, not of tasks:
  refused: "Not started",
  unread: "The list cannot be shown",
};

const KIES_WORDS = ["wait", "queueing", "generating", "success", "fail"];
const RUNNING = ["queued", "submitting", "wait", "queueing", "generating"];
const FAILED = ["fail", "rejected", "unknown", "expired", "refused", "unread"];

const DEDUPLICATED = "An earlier start had already begun this one; nothing new was charged.";

/** @type {Record<string, string>} */
const HELP = {
  never: "Repeating it as it is will not help.",
  after_change: "Something in it has to change first.",
  later: "It may work later.",
};

/** How numbers and times are written; set by the host. */
class Locale {
  /** @type {string | undefined} */
  tag;
  /** @type {string | undefined} */
  timeZone;

  /**
   * @param {unknown} tag as in BCP 47
   * @param {unknown} timeZone
   */
  use(tag, timeZone) {
    try {
      this.tag = Intl.getCanonicalLocales(String(tag ?? navigator.language))[0];
      new Intl.DateTimeFormat(this.tag, { timeZone: timeZone ? String(timeZone) : undefined });
      this.timeZone = timeZone ? String(timeZone) : undefined;
    } catch {
      // The browser's own will do.
    }
  }

  /** @param {number} value */
  number(value) {
    return new Intl.NumberFormat(this.tag, { maximumFractionDigits: 2 }).format(value);
  }

  /** @param {number | undefined} credits */
  credits(credits) {
    return credits === undefined ? "" : `about ${this.number(credits)} credits`;
  }

  /**
   * A length of time, such as 1 min 10 s.
   * @param {number} seconds
   */
  duration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    const minutes = Math.floor(whole / 60);
    const rest = whole % 60;
    const said = minutes ? [`${this.number(minutes)} min`] : [];
    if (rest || !minutes) said.push(`${this.number(rest)} s`);
    return said.join(" ");
  }

  /**
   * @param {string} iso
   * @param {Intl.DateTimeFormatOptions} style
   */
  time(iso, style) {
    const made = document.createElement("time");
    made.dateTime = iso;
    made.lang = this.tag ?? "";
    const options = { ...style, timeZone: this.timeZone };
    const date = new Date(iso);
    const isReadable = !Number.isNaN(date.valueOf());
    made.textContent = isReadable ? new Intl.DateTimeFormat(this.tag, options).format(date) : iso;
    return made;
  }

  /**
   * How far a day is off, such as in 13 days; empty in languages that the page does not speak.
   * @param {string} iso
   */
  distance(iso) {
    const tag = this.tag ?? navigator.language;
    if (!/^en\b/.test(tag)) return "";
    const hours = (Date.parse(iso) - Date.now()) / 3_600_000;
    if (Number.isNaN(hours)) return "";
    const [value, unit] = Math.abs(hours) < 48 ? [hours, "hour"] : [hours / 24, "day"];
    return new Intl.RelativeTimeFormat(tag, { numeric: "auto" }).format(
      Math.trunc(Number(value)),
      /** @type {"hour" | "day"} */ (unit),
    );
  }
}

const locale = new Locale();

/** @param {unknown} error */
function reasonOf(error) {
  const reason = error instanceof Error ? error.message : String(error);
  return /[.!?…]$/.test(reason) ? reason : `${reason}.`;
}

/**
 * What something cost, as a sentence.
 * @param {Charged | undefined} charged
 * @param {number} [credits]
 */
function cost(charged, credits) {
  const about = locale.credits(credits);
  if (charged === "no") return "Nothing was charged.";
  if (charged === "yes") return about ? `It was charged: ${about}.` : "It was charged.";
  return `It may have been charged${about && ` (${about})`}; nobody knows.`;
}

/**
 * What helps, as sentences; empty where nobody can say.
 * @param {Task} task
 */
function help({ state, error, charged, file }) {
  if (state === "unknown") return "Have it looked at later: starting it anew may cost a second time.";
  if (state === "expired") return file ? "" : "Only a new, paid video can replace it.";
  if (!error) return "";
  const said = HELP[error.retry ?? ""] ?? "";
  return charged === "no" ? said : `${said} A new start is paid anew.`.trim();
}
