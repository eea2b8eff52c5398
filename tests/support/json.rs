//! A strict reader of JSON, as small as it can be.

#[derive(Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The one value in `text`; anything after it is an error.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let value = reader.value()?;
        reader.space();
        match reader.at == text.len() {
            true => Ok(value),
            false => Err(reader.wrong("the end")),
        }
    }

    /// Every value below this one, with its name (empty in a list), this one first.
    pub fn walk<'a>(&'a self, name: &'a str, see: &mut dyn FnMut(&'a str, &'a Json)) {
        see(name, self);
        match self {
            Json::List(list) => list.iter().for_each(|value| value.walk("", see)),
            Json::Object(object) => object.iter().for_each(|(name, value)| value.walk(name, see)),
            _ => {}
        }
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// The members of a list.
    pub fn items(&self) -> &[Json] {
        match self {
            Json::List(list) => list,
            _ => &[],
        }
    }

    /// Whether this number is anywhere in it, as a number.
    pub fn holds(&self, number: i64) -> bool {
        let mut found = false;
        self.walk("", &mut |_, value| found |= *value == Json::Number(number as f64));
        found
    }

    /// Every number whose name contains `part`, whatever its case.
    pub fn numbers(&self, part: &str) -> Vec<f64> {
        let mut found = Vec::new();
        self.walk("", &mut |name, value| {
            if let Json::Number(number) = value {
                if name.to_lowercase().contains(part) {
                    found.push(*number);
                }
            }
        });
        found
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, wanted: &str) -> String {
        format!("byte {}: expected {wanted}", self.at)
    }

    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(|b| b" \t\r\n".contains(b)) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.text[self.at..].starts_with(word.as_bytes());
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn value(&mut self) -> Result<Json, String> {
        self.space();
        if self.take("{") {
            let mut object: Vec<(String, Json)> = Vec::new();
            self.items("}", |reader| {
                reader.space();
                let name = reader.text()?;
                reader.space();
                if !reader.take(":") {
                    return Err(reader.wrong("':'"));
                }
                if object.iter().any(|(other, _)| *other == name) {
                    return Err(format!("'{name}' twice in one object"));
                }
                let value = reader.value()?;
                object.push((name, value));
                Ok(())
            })?;
            return Ok(Json::Object(object));
        }
        if self.take("[") {
            let mut list = Vec::new();
            self.items("]", |reader| {
                let value = reader.value()?;
                list.push(value);
                Ok(())
            })?;
            return Ok(Json::List(list));
        }
        if self.text.get(self.at) == Some(&b'"') {
            return self.text().map(Json::Text);
        }
        for (word, value) in
            [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if self.take(word) {
                return Ok(value);
            }
        }
        self.number()
    }

    fn items(
        &mut self,
        end: &str,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.space();
        if self.take(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            self.space();
            if self.take(end) {
                return Ok(());
            }
            if !self.take(",") {
                return Err(self.wrong("',' or the end of the list"));
            }
        }
    }

    fn text(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            return Err(self.wrong("'\"'"));
        }
        let mut bytes = Vec::new();
        loop {
            let byte = *self.text.get(self.at).ok_or_else(|| self.wrong("'\"'"))?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).map_err(|e| e.to_string()),
                b'\\' => {
                    let next = *self.text.get(self.at).ok_or_else(|| self.wrong("an escape"))?;
                    self.at += 1;
                    match next {
                        b'"' | b'\\' | b'/' => bytes.push(next),
                        b'n' => bytes.push(b'\n'),
                        b't' => bytes.push(b'\t'),
                        b'r' => bytes.push(b'\r'),
                        b'b' => bytes.push(8),
                        b'f' => bytes.push(12),
                        b'u' => {
                            let digits = self.text.get(self.at..self.at + 4);
                            let code = digits
                                .and_then(|d| std::str::from_utf8(d).ok())
                                .and_then(|d| u32::from_str_radix(d, 16).ok())
                                .and_then(char::from_u32)
                                .ok_or_else(|| self.wrong("four hexadecimal digits"))?;
                            self.at += 4;
                            bytes.extend(code.encode_utf8(&mut [0; 4]).bytes());
                        }
                        _ => return Err(self.wrong("an escape")),
                    }
                }
                0..=31 => return Err(self.wrong("no control character in a string")),
                _ => bytes.push(byte),
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let from = self.at;
        while self.text.get(self.at).is_some_and(|b| b"+-.eE0123456789".contains(b)) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.text[from..self.at]).unwrap_or("");
        let plain = digits.trim_start_matches('-');
        let zero_first = plain.len() > 1 && plain.starts_with('0') && !plain.starts_with("0.");
        if zero_first || !plain.starts_with(|c: char| c.is_ascii_digit()) {
            self.at = from;
            return Err(self.wrong("a value"));
        }
        digits.parse().map(Json::Number).map_err(|_| self.wrong("a number"))
    }
}
