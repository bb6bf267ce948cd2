import type { ConflictWording } from '../apply/conflict-report.ts';
import { formatRules, quotedRule, suggestRules } from '../apply/suggest-rules.ts';

/** What is said of an image that cannot be updated, because what lies below its own layers cannot be merged. */
export const OF_AN_UPDATE: ConflictWording = {
  head: (image, count) => `${image} cannot be updated: ${count}`,
  hint(conflicts) {
    const rules = suggestRules(conflicts);
    const [example] = rules;
    if (example === undefined) return 'build the image again from its recipe';
    const option = `--conflict ${quotedRule(example)}`;
    return `settle each by a rule, such as ${option}; in a recipe they are written\n${formatRules(rules)}`;
  },
};
