package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
)

// maxLine bounds a line that text commands hold in memory, in bytes.
const maxLine = 1 << 20

// lineCount reads "-n LINES" and returns the other operands.
func (c *call) lineCount() (n int, names []string, err error) {
	n, names = 10, c.args[1:]
	if len(names) > 1 && names[0] == "-n" {
		if n, err = strconv.Atoi(names[1]); err != nil || n < 0 {
			return 0, nil, c.errUsage()
		}
		names = names[2:]
	}
	return n, names, nil
}

func scanner(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	return s
}

func head(c *call) error {
	n, names, err := c.lineCount()
	if err != nil {
		return err
	}
	return c.inputs(names, func(_ string, r io.Reader) error {
		s := scanner(r)
		for i := 0; i < n && s.Scan(); i++ {
			if err := c.printf("%s\n", s.Bytes()); err != nil {
				return err
			}
		}
		return s.Err()
	})
}

func tail(c *call) error {
	n, names, err := c.lineCount()
	if err != nil {
		return err
	}
	return c.inputs(names, func(_ string, r io.Reader) error {
		var last []string
		s := scanner(r)
		for s.Scan() {
			if last = append(last, s.Text()); len(last) > n {
				last = last[1:]
			}
		}
		for _, line := range last {
			if err := c.printf("%s\n", line); err != nil {
				return err
			}
		}
		return s.Err()
	})
}

func grep(c *call) error {
	flags, names, err := c.options("v")
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return c.errUsage()
	}
	re, err := regexp.Compile(names[0])
	if err != nil {
		return err
	}
	names = names[1:]
	found := false
	err = c.inputs(names, func(name string, r io.Reader) error {
		prefix := ""
		if len(names) > 1 {
			prefix = name + ":"
		}
		s := scanner(r)
		for s.Scan() {
			if re.Match(s.Bytes()) == flags['v'] {
				continue
			}
			found = true
			if err := c.printf("%s%s\n", prefix, s.Bytes()); err != nil {
				return err
			}
		}
		return s.Err()
	})
	c.failed = c.failed || !found
	return err
}

func wc(c *call) error {
	flags, names, err := c.options("lwc")
	if err != nil {
		return err
	}
	return c.inputs(names, func(name string, r io.Reader) error {
		count := map[rune]int64{}
		buf, inWord := make([]byte, 32<<10), false
		for {
			n, err := r.Read(buf)
			count['c'] += int64(n)
			count['l'] += int64(bytes.Count(buf[:n], []byte("\n")))
			for _, b := range buf[:n] {
				space := b == ' ' || b >= '\t' && b <= '\r'
				if !space && !inWord {
					count['w']++
				}
				inWord = !space
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		line := ""
		for _, f := range "lwc" {
			if flags[f] || len(flags) == 0 {
				line += fmt.Sprintf("%7d ", count[f])
			}
		}
		if name != "-" {
			line += name
		}
		return c.printf("%s\n", line)
	})
}
