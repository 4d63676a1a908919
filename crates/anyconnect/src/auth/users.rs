//! A file of users, a line each: `name:groups:hash`.
//!
//! Groups are separated by commas and may be missing. The hash is Argon2id in the PHC string format;
//! without one the user has no password and comes with a certificate only. Lines that are empty or
//! begin with `#` are kept where they are when the file is written again.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Authenticator, Identity, PasswordHash, PasswordHashError, Refused};

/// The longest name of a user or group, in bytes.
const MAX_NAME: usize = 64;

/// A user of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Groups, in order.
    pub groups: Vec<Arc<str>>,
    /// The password's hash; without it there is no password.
    pub hash: Option<PasswordHash>,
}

/// The users of a file.
#[derive(Clone, Debug, Default)]
pub struct Users {
    lines: Vec<Line>,
    /// Where in `lines` a user is.
    by_name: BTreeMap<Arc<str>, usize>,
}

#[derive(Clone, Debug)]
enum Line {
    Other(String),
    User(Arc<str>, User),
}

/// A line of the file is no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct UsersError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: UsersErrorKind,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersErrorKind {
    /// It does not have three parts.
    #[error("name:groups:hash was expected, with two colons")]
    Parts,
    /// A name is none.
    #[error(transparent)]
    Name(#[from] UserNameError),
    /// A hash is none.
    #[error("the hash of {user} {error}; `lockgate user add` makes one")]
    Hash {
        /// Whose.
        user: String,
        /// What is wrong with it.
        error: PasswordHashError,
    },
    /// The user was in a line before.
    #[error("user {user} is in line {before} already")]
    Twice {
        /// Who.
        user: String,
        /// The line before, from 1.
        before: usize,
    },
}

/// Text is no name of a user or group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name: 1 to 64 letters, digits and characters of -_.@+ were expected, or others beyond ASCII"
)]
pub struct UserNameError(pub String);

impl Users {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut users = Self::default();
        for (i, line) in text.lines().enumerate() {
            users.add_line(line).map_err(|kind| UsersError { line: i + 1, kind })?;
        }
        Ok(users)
    }

    fn add_line(&mut self, line: &str) -> Result<(), UsersErrorKind> {
        if line.trim().is_empty() || line.starts_with('#') {
            self.lines.push(Line::Other(line.to_owned()));
            return Ok(());
        }
        let mut parts = line.splitn(3, ':');
        let (Some(name), Some(groups), Some(hash)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(UsersErrorKind::Parts);
        };
        let name = check(name.trim())?;
        if let Some(before) = self.by_name.get(name) {
            return Err(UsersErrorKind::Twice { user: name.to_owned(), before: before + 1 });
        }
        let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty());
        let groups = groups.map(|group| check(group).map(Arc::from)).collect::<Result<_, _>>()?;
        let hash = match hash.trim() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|error| UsersErrorKind::Hash { user: name.to_owned(), error })?,
            ),
        };
        self.push(Arc::from(name), User { groups, hash });
        Ok(())
    }

    fn push(&mut self, name: Arc<str>, user: User) {
        self.by_name.insert(name.clone(), self.lines.len());
        self.lines.push(Line::User(name, user));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The users in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &User)> {
        self.lines.iter().filter_map(|line| match line {
            Line::User(name, user) => Some((name, user)),
            Line::Other(_) => None,
        })
    }

    /// A user.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.entry(name).map(|(_, user)| user)
    }

    /// Adds a user, or puts another in place of one who is there; whether there was one.
    pub fn insert(&mut self, name: &str, user: User) -> Result<bool, UserNameError> {
        let name = check(name)?;
        for group in &user.groups {
            check(group)?;
        }
        let place = self.by_name.get(name).and_then(|at| self.lines.get_mut(*at));
        if let Some(Line::User(_, before)) = place {
            *before = user;
            return Ok(true);
        }
        self.push(Arc::from(name), user);
        Ok(false)
    }

    /// Removes a user; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.by_name.remove(name) else { return false };
        self.lines.remove(at);
        for place in self.by_name.values_mut().filter(|place| **place > at) {
            *place -= 1;
        }
        true
    }

    fn entry(&self, name: &str) -> Option<(&Arc<str>, &User)> {
        match self.lines.get(*self.by_name.get(name)?)? {
            Line::User(name, user) => Some((name, user)),
            Line::Other(_) => None,
        }
    }

    fn identity(name: &Arc<str>, user: &User) -> Identity {
        Identity { user: name.clone(), groups: user.groups.clone().into() }
    }
}

/// The file.
impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match line {
                Line::Other(text) => writeln!(f, "{text}")?,
                Line::User(name, user) => {
                    write!(f, "{name}:{}:", user.groups.join(","))?;
                    match &user.hash {
                        Some(hash) => writeln!(f, "{hash}")?,
                        None => writeln!(f)?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl Authenticator for Users {
    fn password(&self, user: &str, password: &str) -> Result<Identity, Refused> {
        match self.entry(user) {
            Some((name, found @ User { hash: Some(hash), .. })) => {
                let right = hash.verify(password);
                right.then(|| Self::identity(name, found)).ok_or(Refused::Credentials)
            }
            Some((_, User { hash: None, .. })) | None => {
                let like = self.iter().find_map(|(_, user)| user.hash.as_ref());
                PasswordHash::verify_nothing(like, password);
                Err(Refused::Credentials)
            }
        }
    }

    fn certified(&self, user: &str) -> Result<Identity, Refused> {
        let (name, user) = self.entry(user).ok_or(Refused::Credentials)?;
        Ok(Self::identity(name, user))
    }
}

fn check(name: &str) -> Result<&str, UserNameError> {
    let fits = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '@' | '+' => true,
        c => !c.is_ascii() && c.is_alphanumeric(),
    };
    let good = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(fits);
    if good { Ok(name) } else { Err(UserNameError(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Counter, cheap_hash};

    fn file() -> String {
        let (alice, bob) = (cheap_hash("secret1"), cheap_hash("secret2"));
        format!("# people\nalice:staff,admins:{alice}\n\nbob::{bob}\ncarol:staff:\n")
    }

    #[test]
    fn a_file_is_read_and_written_as_it_was() {
        let users = Users::parse(&file()).unwrap();
        assert_eq!(users.len(), 3);
        assert_eq!(users.to_string(), file());
        let names: Vec<_> = users.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["alice", "bob", "carol"]);
        assert!(users.get("dave").is_none());
        assert!(!format!("{users:?}").contains("argon2id"));
    }

    #[test]
    fn passwords_and_certificates_let_users_in() {
        let users = Users::parse(&file()).unwrap();
        let alice = users.password("alice", "secret1").unwrap();
        assert_eq!(&*alice.user, "alice");
        assert_eq!(*alice.groups, [Arc::from("staff"), Arc::from("admins")]);
        for (user, password) in
            [("alice", "secret2"), ("alice", ""), ("Alice", "secret1"), ("carol", ""), ("dave", "")]
        {
            assert_eq!(users.password(user, password), Err(Refused::Credentials), "{user}");
        }
        assert_eq!(&*users.certified("carol").unwrap().user, "carol");
        assert_eq!(users.certified("dave"), Err(Refused::Credentials));
        assert_eq!(Users::default().password("x", "y"), Err(Refused::Credentials));
    }

    #[test]
    fn users_come_and_go_and_lines_stay() {
        let mut users = Users::parse(&file()).unwrap();
        assert!(users.remove("alice"));
        assert!(!users.remove("alice"));
        let hash = PasswordHash::new("x", &mut Counter::default());
        let user = User { groups: vec!["a".into(), "b".into()], hash: Some(hash) };
        assert!(!users.insert("erin", user.clone()).unwrap());
        assert!(users.insert("bob", User { hash: None, ..user.clone() }).unwrap());
        let text = users.to_string();
        assert!(
            text.starts_with("# people\n\nbob:a,b:\ncarol:staff:\nerin:a,b:$argon2id$"),
            "{text}"
        );
        assert!(users.insert("a:b", user.clone()).is_err());
        assert!(users.insert("ab", User { groups: vec!["x,y".into()], hash: None }).is_err());
        let again = Users::parse(&users.to_string()).unwrap();
        assert_eq!(again.get("erin"), Some(&user));
    }

    #[test]
    fn errors_name_the_line_and_the_fix() {
        let error = |text: &str| Users::parse(text).unwrap_err().to_string();
        for (text, want) in [
            ("# x\nalice", "line 2: name:groups:hash was expected, with two colons"),
            ("alice:staff", "line 1: name:groups:hash was expected, with two colons"),
            ("alice::\nbob::\nalice::", "line 3: user alice is in line 1 already"),
            (
                "alice::secret",
                "line 1: the hash of alice is not an Argon2id hash, which begins with $argon2id$v=19$; \
                 `lockgate user add` makes one",
            ),
            (
                "al ice::",
                "line 1: \"al ice\" is no name: 1 to 64 letters, digits and characters of -_.@+ were \
                 expected, or others beyond ASCII",
            ),
        ] {
            assert_eq!(error(text), want);
        }
        assert!(error(":a:").contains("is no name"));
        assert!(error("a:b/c:").contains("is no name"));
        assert!(
            !error("alice::hunter22").contains("hunter22"),
            "what may be a password is not shown"
        );
    }

    proptest! {
        #[test]
        fn any_text_gives_users_or_an_error(text in "\\PC{0,80}", name in "[a-z:#,\n ]{0,20}") {
            for text in [&text, &name] {
                if let Ok(users) = Users::parse(text) {
                    let again = Users::parse(&users.to_string()).unwrap();
                    prop_assert_eq!(again.to_string(), users.to_string());
                }
            }
        }
    }
}
