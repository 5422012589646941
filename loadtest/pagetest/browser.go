package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// browser is a Chromium with one page, driven over a pipe by its DevTools protocol.
type browser struct {
	command *exec.Cmd
	to      io.WriteCloser
	session string

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	faults  []string // of the browser's console, and foreign requests
	broken  error
	origin  string // the only one that the page may load from
}

// message is one of the protocol, in either direction.
type message struct {
	ID        int                       `json:"id,omitempty"`
	Method    string                    `json:"method,omitempty"`
	Params    any                       `json:"params,omitempty"`
	SessionID string                    `json:"sessionId,omitempty"`
	Result    json.RawMessage           `json:"result,omitempty"`
	Error     *struct{ Message string } `json:"error,omitempty"`
}

// answerTime bounds one step of the browser.
const answerTime = 30 * time.Second

// startBrowser starts program with its files in dir.
func startBrowser(ctx context.Context, program, dir, origin string) (*browser, error) {
	commands, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer commands.Close()
	from, answers, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	defer answers.Close()
	b := &browser{to: to, waiting: map[int]chan message{}, origin: origin}
	b.command = exec.CommandContext(ctx, program, "--remote-debugging-pipe", "--no-sandbox", "--no-zygote", "--disable-gpu",
		"--hide-scrollbars", "--user-data-dir="+filepath.Join(dir, "profile"), "about:blank")
	b.command.ExtraFiles = []*os.File{commands, answers} // descriptors 3 and 4
	log, err := os.Create(filepath.Join(dir, "browser.log"))
	if err != nil {
		return nil, errors.Join(err, to.Close(), from.Close())
	}
	defer log.Close()
	b.command.Stdout, b.command.Stderr = log, log
	if err := b.command.Start(); err != nil {
		return nil, errors.Join(err, to.Close(), from.Close())
	}
	go b.read(from)
	return b, b.attach()
}

// stop ends the browser. An error of the end means nothing: it is killed.
func (b *browser) stop() {
	_ = b.command.Process.Kill()
	_ = b.command.Wait()
	_ = b.to.Close()
}

// read hands answers to their callers, and notes faults, until the browser ends.
func (b *browser) read(from io.ReadCloser) {
	defer from.Close()
	for r := bufio.NewReader(from); ; {
		text, err := r.ReadBytes(0)
		var m struct {
			message
			Params json.RawMessage `json:"params"`
		}
		if err == nil {
			err = json.Unmarshal(text[:len(text)-1], &m)
		}
		b.mu.Lock()
		if err != nil {
			b.broken = fmt.Errorf("the browser ended: %w", err)
			for _, c := range b.waiting {
				close(c)
			}
			b.waiting = nil
			b.mu.Unlock()
			return
		}
		if c := b.waiting[m.ID]; m.ID != 0 && c != nil {
			delete(b.waiting, m.ID)
			c <- m.message
		}
		b.note(m.Method, m.Params)
		b.mu.Unlock()
	}
}

// note keeps what must not happen. With mu held.
func (b *browser) note(method string, params json.RawMessage) {
	switch method {
	case "Audits.issueAdded":
		if strings.Contains(string(params), `"code":"ContentSecurityPolicyIssue"`) { // the others are advice
			b.faults = append(b.faults, string(params))
		}
	case "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded":
		b.faults = append(b.faults, method+": "+string(params))
	case "Page.javascriptDialogOpening":
		b.faults = append(b.faults, "a hostile name ran: "+string(params))
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		if json.Unmarshal(params, &p) == nil && !strings.HasPrefix(p.Request.URL, b.origin) && p.Request.URL != "about:blank" {
			b.faults = append(b.faults, "a request to "+p.Request.URL)
		}
	}
}

// takeFaults returns the faults so far, and forgets them.
func (b *browser) takeFaults() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out, b.faults = b.faults, nil
	return out
}

// call sends a command, and decodes its result into out, unless that is nil.
func (b *browser) call(method string, params, out any) error {
	b.mu.Lock()
	if b.broken != nil {
		defer b.mu.Unlock()
		return b.broken
	}
	b.last++
	id, c := b.last, make(chan message, 1)
	b.waiting[id] = c
	b.mu.Unlock()
	text, err := json.Marshal(message{ID: id, Method: method, Params: params, SessionID: b.session})
	if err != nil {
		return err
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		return err
	}
	select {
	case m, ok := <-c:
		switch {
		case !ok:
			return b.broken
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case out == nil:
			return nil
		}
		return json.Unmarshal(m.Result, out)
	case <-time.After(answerTime):
		return fmt.Errorf("%s: no answer", method)
	}
}

// object is a set of parameters.
type object map[string]any

func (b *browser) attach() error {
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	if err := b.call("Target.getTargets", object{}, &targets); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	for _, t := range targets.TargetInfos {
		if t.Type == "page" {
			err := b.call("Target.attachToTarget", object{"targetId": t.TargetID, "flatten": true}, &attached)
			if err != nil {
				return err
			}
		}
	}
	if b.session = attached.SessionID; b.session == "" {
		return errors.New("the browser has no page")
	}
	for _, domain := range []string{"Page", "Runtime", "Log", "Network", "Audits"} {
		if err := b.call(domain+".enable", object{}, nil); err != nil {
			return err
		}
	}
	return nil
}

// eval returns the value of an expression in the page.
func (b *browser) eval(expression string, out any) error {
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := b.call("Runtime.evaluate", object{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	switch {
	case err != nil:
		return err
	case r.ExceptionDetails != nil:
		return fmt.Errorf("%s: %s", expression, r.ExceptionDetails.Exception.Description)
	case out == nil || r.Result.Value == nil:
		return nil
	}
	return json.Unmarshal(r.Result.Value, out)
}

// until waits until an expression is true. While a page loads, an expression may fail.
func (b *browser) until(what, expression string) error {
	end := time.Now().Add(answerTime)
	for {
		var ok bool
		err := b.eval("!!("+expression+")", &ok)
		if ok && err == nil {
			return nil
		}
		if time.Now().After(end) {
			var text string
			return errors.Join(fmt.Errorf("waited %v for: %s", answerTime, what), err,
				b.eval("document.body.innerText", &text), errors.New(text))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// load opens an address, and waits until it has loaded.
func (b *browser) load(url string) error {
	if err := b.call("Page.navigate", object{"url": url}, nil); err != nil {
		return err
	}
	return b.until("the page "+url, "document.readyState === 'complete' && location.href === "+quote(url))
}

// press sends a key.
func (b *browser) press(key string, code int) error {
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		if err := b.call("Input.dispatchKeyEvent", object{"type": kind, "key": key, "code": key, "text": text,
			"windowsVirtualKeyCode": code}, nil); err != nil {
			return err
		}
		text = ""
	}
	return nil
}

func (b *browser) enter() error { return b.press("Enter", 13) }

// tabTo presses the tab key until an element has the focus, as an operator without a mouse does.
func (b *browser) tabTo(selector string) error {
	for range 400 {
		var there bool
		if err := b.eval("document.activeElement?.matches("+quote(selector)+") === true", &there); err != nil || there {
			return err
		}
		if err := b.press("Tab", 9); err != nil {
			return err
		}
	}
	return fmt.Errorf("the tab key never reaches %s", selector)
}

// click clicks on the middle of an element, or on a share of its width.
func (b *browser) click(selector string, share float64) error {
	var at struct{ X, Y float64 }
	if err := b.until("the whole page", "document.readyState === 'complete'"); err != nil {
		return err
	}
	err := b.eval(`(() => { const e = document.querySelector(`+quote(selector)+`); e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(); return {X: r.x + r.width * `+fmt.Sprint(share)+`, Y: r.y + r.height / 2}; })()`, &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		if err == nil {
			err = b.call("Input.dispatchMouseEvent", object{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
		}
	}
	return err
}

func (b *browser) typeText(text string) error {
	return b.call("Input.insertText", object{"text": text}, nil)
}

// look sets the width of the screen, and dark or light.
func (b *browser) look(width, height int, scheme string) error {
	err := b.call("Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1,
		"mobile": width < 600}, nil)
	if err != nil {
		return err
	}
	return b.call("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// shoot writes a picture of the visible page.
func (b *browser) shoot(file string) error {
	var r struct{ Data string }
	if err := b.call("Page.captureScreenshot", object{"format": "png"}, &r); err != nil {
		return err
	}
	picture, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil {
		return err
	}
	return os.WriteFile(file, picture, 0o644)
}

// quote is a text as JavaScript has it.
func quote(text string) string {
	out, _ := json.Marshal(text) // of a string it cannot fail
	return string(out)
}
