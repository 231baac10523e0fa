package console

import "regexp"

// promptWindow is how much of the latest output is looked at.
const promptWindow = 256

var (
	// prompt is what the output ends with when a system waits for somebody: a
	// getty's "host login: ", or a shell's "user@host:dir# ".
	prompt = regexp.MustCompile(`(?:^|[\r\n])[^\r\n]{0,100}(?: login: ?|\S@\S+:\S*[#$] )$`)
	// styling is what prompts are coloured with.
	styling = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
)

// watchPrompt calls found each time the output comes to end with a prompt. It
// reads the ring like any viewer.
func (c *console) watchPrompt(found func(nodeID string)) {
	var window []byte
	at := false
	_ = c.line.follow(c.ctx, c.line.ring.tail(), func(p []byte) error {
		if len(p) == 0 {
			return nil
		}
		window = append(window, p...)
		window = window[max(0, len(window)-promptWindow):]
		was := at
		if at = prompt.Match(styling.ReplaceAll(window, nil)); at && !was {
			found(c.spec.NodeID)
		}
		return nil
	})
}
