/**
 * What is simple, to place other results by: naive Bayes on the words of the piece.
 *
 *     node demo/century/baseline.js
 */
import { naiveBayes, report, words } from '../task/baseline.js';

report(import.meta.url, (train) => ({ 'naive Bayes on words': naiveBayes(train, words) }));
