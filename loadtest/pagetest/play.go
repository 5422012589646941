package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/loadtest/harness"
)

// The page's goals.
const (
	loadGoal   = time.Second
	memoryGoal = 50 << 20 // bytes that the page adds to the proxy
)

// play is an operator's quarter of an hour.
type play struct {
	*stage
	*browser
	options
	out    io.Writer
	client *harness.Client
}

func (p *play) run() (err error) {
	if p.client, err = harness.DialClient(p.listen, answerTime); err != nil {
		return err
	}
	defer p.client.Close()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"the page loads, without names", p.arrive},
		{"the operator logs in by the keyboard", p.logIn},
		{"a flush appears while the page is open", p.flush},
		{"the operator undoes it from the page", p.undo},
		{"a command waits, and is approved", p.approve},
		{"the audit log is filtered", p.filter},
		{"the hits of the rules are drawn, and said", p.hits},
		{"the configuration is read again from the page", p.reload},
		{"a mark and the axis give commands, and the keys there and now", p.moments},
		{"a typed moment is previewed within a second", p.previews},
		{"details, the focus and a selection outlast updates", p.outlast},
		{"every form and element has a name, and ids are unique", p.accessible},
		{"pictures", p.pictures},
		{"a proxy that does not answer is noticed", p.away},
	} {
		began := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if faults := p.takeFaults(); len(faults) > 0 {
			return fmt.Errorf("%s: the browser reports:\n%s", step.what, strings.Join(faults, "\n"))
		}
		fmt.Fprintf(p.out, "ok  %s (%v)\n", step.what, time.Since(began).Round(10*time.Millisecond))
	}
	return nil
}

func (p *play) url(path string) string { return "http://" + p.http + path }

// arrive measures the first load, with all the entries and clients, and the memory that it takes.
func (p *play) arrive() error {
	before, err := harness.RSS(p.proxy.Pid)
	if err != nil {
		return err
	}
	if err := p.look(1280, 900, "light"); err != nil {
		return err
	}
	if err := p.load(p.url("/")); err != nil {
		return err
	}
	if err := p.until("updates", "said.size > 0"); err != nil {
		return err
	}
	for _, path := range []string{"/login", "/"} {
		if err := errors.Join(p.load(p.url(path)), p.check(path)); err != nil {
			return err
		}
	}
	var named bool
	if err := p.eval("document.body.innerText.includes('session:')", &named); err != nil || named {
		return errors.Join(err, errors.New("names without a login"))
	}
	var times []float64
	for range 21 {
		if err := p.load(p.url("/")); err != nil {
			return err
		}
		var took float64
		if err := p.eval("performance.getEntriesByType('navigation')[0].loadEventEnd", &took); err != nil {
			return err
		}
		times = append(times, took)
	}
	slices.Sort(times)
	took := time.Duration(times[len(times)/2] * float64(time.Millisecond)).Round(time.Millisecond)
	fmt.Fprintf(p.out, "    it loads in %v (median; %.0f to %.0f ms)\n", took, times[0], times[len(times)-1])
	if took > loadGoal {
		return fmt.Errorf("that takes longer than %v", loadGoal)
	}
	after, err := harness.RSS(p.proxy.Pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "    the proxy takes %d MiB more\n", (after-before)>>20)
	if after-before > memoryGoal {
		return fmt.Errorf("that is more than %d MiB", memoryGoal>>20)
	}
	return nil
}

func (p *play) logIn() error {
	steps := []func() error{
		func() error { return p.tabTo("a[href='/login']") }, p.enter,
		func() error {
			return p.until("the form, with the focus in it", "document.activeElement?.id === 'password'")
		},
		func() error { return p.typeText("wrong") }, p.enter,
		func() error {
			return p.until("the refusal", "document.querySelector('main [role=alert]')?.innerText.includes('not the console') && document.activeElement?.id === 'password'")
		},
		func() error { return p.typeText(password) }, p.enter,
		func() error {
			return p.until("the page with names", "document.querySelector('[data-part=trash]')?.innerText.includes('DEL')")
		},
	}
	if err := inOrder(steps); err != nil {
		return err
	}
	p.takeFaults() // Chromium logs the status 403 of the refusal
	var cookie string
	if err := p.eval("document.cookie", &cookie); err != nil || cookie != "" {
		return errors.Join(err, fmt.Errorf("a script reads the cookie: %q", cookie))
	}
	return nil
}

func inOrder(steps []func() error) error {
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

const flushed = "#trash .items a[id^=undo-]"

func (p *play) flush() error {
	if err := p.eval("window.same = true", nil); err != nil {
		return err
	}
	if _, err := p.client.Must("FLUSHALL"); err != nil {
		return err
	}
	return inOrder([]func() error{
		func() error {
			return p.until("the flush in the trash, without a load", "window.same && "+
				"document.querySelector('#trash h3')?.innerText === 'Flushed databases' && document.querySelector('#trash .items').innerText.includes('FLUSHALL')")
		},
		func() error {
			return p.until("a word to screen readers", "document.getElementById('say').innerText !== ''")
		},
		func() error {
			return p.until("the event on the timeline, with the keys before and after",
				"[...document.querySelectorAll('#timeline details[id^=event-]')].some((e) => e.textContent.includes('Keys before: '))")
		},
		func() error {
			return p.until("its author", "document.querySelector('#audit').innerText.includes('flushall')")
		},
	})
}

func (p *play) undo() error {
	return inOrder([]func() error{
		func() error { return p.tabTo(flushed) }, p.enter,
		func() error {
			return p.until("what will happen, in words", "document.querySelector('h1')?.innerText.startsWith('Undo entry') && "+
				"document.body.innerText.includes('1,000 keys of database 0 come back')")
		},
		func() error { return p.tabTo("main button") }, p.enter,
		func() error {
			return p.until("the outcome, with the focus", "document.activeElement?.id === 'notice' && document.activeElement.innerText.includes('1000 keys are back')")
		},
		func() error {
			got, err := p.client.Must("DBSIZE")
			if err == nil && fmt.Sprint(got) != "1000" {
				err = fmt.Errorf("the server has %v keys", got)
			}
			return err
		},
		func() error {
			return p.until("the line of the audit log", "document.querySelector('#audit').innerText.includes('UNDO')")
		},
	})
}

func (p *play) approve() error {
	if _, err := p.client.Do("SWAPDB", "0", "1"); err != nil {
		return err
	}
	return inOrder([]func() error{
		func() error { return p.until("the command", "document.querySelector('#approvals a[id^=approve-]')") },
		func() error { return p.click("#approvals a[id^=approve-]", 0.5) },
		func() error {
			return p.until("the form", "document.querySelector('h1')?.innerText === 'Approve this command?'")
		},
		func() error { return p.click("main button", 0.5) },
		func() error {
			return p.until("the outcome", "document.getElementById('notice')?.innerText.startsWith('Approved')")
		},
		func() error {
			for range 2 {
				if _, err := p.client.Must("SWAPDB", "0", "1"); err == nil {
					return nil
				}
			}
			return errors.New("the approved command does not pass")
		},
	})
}

// filter leaves the lines of one command, also while the page is kept fresh.
func (p *play) filter() error {
	lines := "[...document.querySelectorAll('#audit .items > li')].map((e) => e.innerText.toLowerCase())"
	only := fmt.Sprintf("%s.length > 0 && %s.every((text) => text.includes('swapdb'))", lines, lines)
	return inOrder([]func() error{
		func() error { return p.load(p.url("/")) },
		func() error {
			return p.until("lines of other commands", lines+".some((text) => !text.includes('swapdb'))")
		},
		func() error { return p.eval("document.getElementById('who').focus()", nil) },
		func() error { return p.typeText("swapdb") }, p.enter,
		func() error { return p.until("its lines alone", only) },
		func() error { return p.eval("window.seen = look.textContent", nil) },
		func() error { return p.until("the same behind an update", "look.textContent !== window.seen && "+only) },
	})
}

// hits looks at the history of the deletes that have filled the trash.
func (p *play) hits() error {
	return inOrder([]func() error{
		func() error { return p.load(p.url("/")) },
		func() error {
			return p.until("bars of rules and budgets, with labels", "[...document.querySelectorAll('#rules .items > li')]"+
				".filter((e) => e.querySelectorAll('svg[role=img][aria-label^=Last] path[d^=M]').length === 2).length >= 3")
		},
		func() error {
			return p.until("their number", fmt.Sprintf("document.querySelector('#rules').innerText.replaceAll(',', '').includes('%d in the last hour')",
				p.entries))
		},
	})
}

func (p *play) reload() error {
	return inOrder([]func() error{
		func() error { return p.tabTo("a[href='/reload']") }, p.enter,
		func() error {
			return p.until("what will happen, in words", "document.querySelector('h1')?.innerText === 'Read the configuration file again?'")
		},
		func() error { return p.tabTo("main button") }, p.enter,
		func() error {
			return p.until("the outcome, with the focus", "document.activeElement?.id === 'notice' && document.activeElement.innerText.includes('is in force')")
		},
	})
}

func (p *play) moments() error {
	return inOrder([]func() error{
		func() error { return p.load(p.url("/")) },
		func() error {
			return p.eval("document.querySelector('#axis a[href^=\"#event-\"]').dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))", nil)
		},
		func() error {
			return p.until("the open event, with the focus and the command", "document.activeElement?.closest('details[open][id^=event-]')?.innerText.includes('proxy restore --dir')")
		},
		p.clickAxis,
		func() error {
			return p.until("the command of that moment", "document.activeElement?.id === 'chosen' && /UTC/.test(document.querySelector('#chosen h3').innerText) && "+
				"(document.querySelector('#chosen code')?.innerText.includes('--to 20') && document.querySelector('#chosen .preview')?.innerText.includes('Keys there') || "+
				"document.querySelector('#chosen').innerText.includes('does not reach back'))")
		},
		func() error { return p.load(p.url("/")) },
		func() error {
			return p.eval("document.querySelector('#axis a[href^=\"#event-\"]').dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))", nil)
		},
		func() error {
			return p.until("the open event", "document.activeElement?.closest('details[open][id^=event-]')")
		},
		func() error { return p.click("details[open] a[id^=preview-event-]", 0.5) },
		func() error {
			return p.until("the keys before and after the event, with its commands", "/^Event /.test(document.querySelector('#chosen h3')?.innerText) && "+
				"document.querySelector('#chosen .preview').innerText.includes('Keys after these commands') && document.querySelector('#chosen').innerText.includes('--dry-run')")
		},
	})
}

// previews types a moment that has the trash's entries before it, and measures the page.
func (p *play) previews() error {
	at := time.Now().Add(-10 * time.Second).UTC().Format("2006-01-02T15:04:05.000Z")
	for range 20 { // it waits for the rest after the last preview
		var took float64
		var text string
		err := errors.Join(p.load(p.url("/?at="+at)),
			p.eval("performance.getEntriesByType('navigation')[0].loadEventEnd", &took),
			p.eval("document.querySelector('#chosen .preview')?.innerText ?? ''", &text))
		if err != nil || time.Duration(took*float64(time.Millisecond)) > loadGoal {
			return errors.Join(err, fmt.Errorf("%.0f ms: %q", took, text))
		}
		if text = strings.Join(strings.Fields(text), " "); strings.Contains(text, "Keys there") && !strings.Contains(text, "other previews") {
			fmt.Fprintf(p.out, "    it loads in %.0f ms with the preview: %s\n", took, text)
			return nil
		}
	}
	return errors.New("there is none")
}

// clickAxis clicks the latest place of the axis that is free of marks: they have links of their own.
func (p *play) clickAxis() error {
	var share float64
	free := `(() => {
		const axis = document.getElementById("axis");
		axis.scrollIntoView({block: "center", behavior: "instant"});
		const box = axis.getBoundingClientRect();
		for (let share = 0.95; share > 0; share -= 0.01) {
			const at = document.elementFromPoint(box.left + share * box.width, box.top + box.height / 2);
			if (axis.contains(at) && !at.closest("a")) return share;
		}
		return 0;
	})()`
	if err := p.eval(free, &share); err != nil || share == 0 {
		return errors.Join(err, errors.New("the axis is full of marks"))
	}
	return p.click("#axis", share)
}

// outlast waits for updates of the part in which the reader works.
func (p *play) outlast() error {
	fresh := "document.querySelector('#timeline [data-part]').firstElementChild !== window.child"
	keep := "window.child = document.querySelector('#timeline [data-part]').firstElementChild"
	return inOrder([]func() error{
		func() error { return p.load(p.url("/")) },
		func() error {
			return p.eval("document.querySelector('details#now').open = true; document.querySelector('details#now summary').focus(); "+keep, nil)
		},
		func() error { return p.until("an update", fresh) },
		func() error {
			return p.until("the focus and the open details", "document.activeElement === document.querySelector('details#now[open] summary')")
		},
		func() error {
			return p.eval("getSelection().selectAllChildren(document.querySelector('#now code')); window.seen = look.textContent; "+keep, nil)
		},
		func() error { return p.until("an update elsewhere", "look.textContent !== window.seen") },
		func() error {
			return p.until("the selection", "getSelection().toString().includes('proxy restore') && !("+fresh+")")
		},
	})
}

// checks find faults for a reader without eyes or a mouse; each expression lists the faults.
var checks = map[string]string{
	"ids that occur twice": `[...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)`,
	"fields without a label": `[...document.querySelectorAll("input:not([type=hidden]), meter, select")]
		.filter((e) => !e.labels?.length && !e.getAttribute("aria-label")).map((e) => e.outerHTML)`,
	"links and buttons without a text": `[...document.querySelectorAll("a, button")]
		.filter((e) => !e.closest("[aria-hidden]") && !e.textContent.trim()).map((e) => e.outerHTML)`,
	"headings that skip a level": `[...document.querySelectorAll("h1, h2, h3, h4")].map((e) => Number(e.tagName[1]))
		.filter((n, i, all) => i > 0 && n > all[i - 1] + 1)`,
	"missing landmarks": `["header", "main", "nav[aria-label]", "main h1", "[aria-live=polite]", "html[lang]", "title"]
		.filter((s) => !document.querySelector(s))`,
	"sections without a name": `[...document.querySelectorAll("section")]
		.filter((e) => !document.getElementById(e.getAttribute("aria-labelledby"))?.textContent.trim()).map((e) => e.id)`,
	"hidden elements that take the focus": `[...document.querySelectorAll("[aria-hidden=true] a")].filter((e) => e.tabIndex >= 0).length || []`,
	"text of low contrast": `(() => {
		const rgb = (c) => c.match(/[\d.]+/g).map(Number);
		const lum = (c) => { const [r, g, b] = rgb(c).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
			return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
			if (rgb(c)[3] !== 0) return c; } return "rgb(255, 255, 255)"; };
		return [...document.querySelectorAll("p, a, button, code, td, th, summary, span, li, h2, h3, label, figcaption")]
			.filter((e) => e.innerText && !e.closest("svg")).filter((e) => { const a = lum(getComputedStyle(e).color), b = lum(ground(e));
				return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5; }).map((e) => e.outerHTML.slice(0, 200));
	})()`,
	"a page wider than the screen": `document.documentElement.scrollWidth > innerWidth ? [document.documentElement.scrollWidth] : []`,
}

func (p *play) accessible() error {
	for _, at := range []struct {
		width  int
		scheme string
	}{{1280, "light"}, {1280, "dark"}, {360, "light"}} {
		if err := p.look(at.width, 900, at.scheme); err != nil {
			return err
		}
		for _, path := range []string{"/?at=2026-01-01+00:00&from=50", "/?at=1%401000", fmt.Sprint("/undo?id=", p.entries),
			fmt.Sprint("/purge?id=", p.entries), "/reload"} {
			if err := p.load(p.url(path)); err != nil {
				return err
			}
			if err := p.check(path); err != nil {
				return fmt.Errorf("%s, %d wide, %s: %w", path, at.width, at.scheme, err)
			}
		}
	}
	return nil
}

func (p *play) check(path string) error {
	for what, expression := range checks {
		if path != "/" && !strings.HasPrefix(path, "/?") && what == "missing landmarks" {
			continue // a form of its own
		}
		var faults []any
		if err := p.eval(expression, &faults); err != nil || len(faults) > 0 {
			return errors.Join(err, fmt.Errorf("%s: %v", what, faults))
		}
	}
	if p.axe == "" {
		return nil
	}
	code, err := os.ReadFile(p.axe)
	if err != nil {
		return err
	}
	var found []string
	err = p.eval(string(code)+`; axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" ")))`, &found)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("axe-core: %s", strings.Join(found, "\n"))
	}
	return err
}

func (p *play) pictures() error {
	if p.shots == "" {
		return nil
	}
	if _, err := p.client.Must("FLUSHALL"); err != nil {
		return err
	}
	for _, at := range []struct {
		file          string
		width, height int
		scheme        string
		top           string // what the picture begins with
	}{{"page.png", 1100, 1150, "light", "body"}, {"page-dark.png", 1100, 1150, "dark", "body"},
		{"page-narrow.png", 390, 900, "light", "body"}, {"page-rules.png", 1100, 640, "light", "#rules"},
		{"page-rules-narrow.png", 390, 900, "dark", "#rules"}} {
		if err := p.look(at.width, at.height, at.scheme); err != nil {
			return err
		}
		if err := p.load(p.url("/")); err != nil {
			return err
		}
		if err := p.until("the event", "document.querySelectorAll('#timeline details[id^=event-]').length > 1"); err != nil {
			return err
		}
		open := "document.querySelector('#timeline details[id^=event-]').open = true"
		if err := p.eval(open, nil); err != nil {
			return err
		}
		if err := p.eval("document.querySelector('"+at.top+"').scrollIntoView({behavior: 'instant'})", nil); err != nil {
			return err
		}
		if err := p.shoot(filepath.Join(p.shots, at.file)); err != nil {
			return err
		}
	}
	return nil
}

// away stops the proxy, as a machine that hangs does, and lets it go on.
func (p *play) away() error {
	if err := p.load(p.url("/")); err != nil {
		return err
	}
	p.proxy.Signal(syscall.SIGSTOP)
	err := p.until("the warning", "!stale.hidden && stale.innerText.includes('No updates')")
	p.proxy.Signal(syscall.SIGCONT)
	if err != nil {
		return err
	}
	err = p.until("fresh again", "stale.hidden")
	p.takeFaults() // a stream that was not written for so long may have been cut, which Chromium logs
	return err
}
