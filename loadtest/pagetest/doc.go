// Program pagetest plays an incident on the operator's page in headless Chromium (`make page-test`): a flush
// while the page is open, its undo from the page, an approval, the command of a moment, a proxy that stops
// answering; with 100,000 entries in the trash, 10,000 clients and hostile names. It drives the browser by the
// keyboard where an operator would, fails on any error of the browser's console, which reports violations of
// the content security policy, and on any request to another origin, and takes the screenshots of docs/.
package main
