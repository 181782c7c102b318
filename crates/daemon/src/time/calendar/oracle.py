"""When cron(8) would start a job in a year: an oracle for crates/daemon/src/time/calendar.

It computes nothing ahead. It walks through every minute of the year in UTC, asks Python's zoneinfo what the clock on the
wall shows, and does what the two manual pages say:

crontab(5): minute, hour, month and day must match. Where neither of the two day fields holds a *, either of them is
enough; else both must match.

cron(8): where the clock is set forward by less than three hours, jobs at fixed times that were skipped run right after it
(here once, since a task is not started while it runs). Where it is set back by less than three hours, they do not run
again. Fixed times are those without a * in minute and hour; all others, and greater changes, follow the new time.

Reads one JSON object a line, {"zone", "year", "expression"}; writes for each {"times", "changes"} in seconds since the
Unix epoch, or {"refused": true}.
"""
import datetime
import functools
import json
import re
import sys
import zoneinfo

MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def field(text, low, high, names=()):
    """The set of a field's values; ValueError where it has none."""
    value = r"\d+" + ("|" + "|".join(names) if names else "")
    member = rf"(?:\*|({value})(?:-({value}))?)(?:/(\d+))?"
    found = set()
    for part in text.lower().split(","):
        match = re.fullmatch(member, part, re.ASCII)
        if not match:
            raise ValueError(part)
        first, last, step = match.groups()
        if first and not last and step:
            raise ValueError("a step of a single value")
        number = lambda t: names.index(t) + low if t in names else int(t)
        a = low if first is None else number(first)
        b = high if first is None else a if last is None else number(last)
        # A range to Sunday by name ends with the week.
        if last == "sun" and a > 0:
            b = 7
        if not (low <= a <= b <= high) or (step and int(step) == 0):
            raise ValueError(part)
        found.update(range(a, b + 1, int(step or 1)))
    return found


def parse(expression):
    text = expression.strip(" \t")
    text = NICKNAMES.get(text.lower(), text)
    minute, hour, day, month, weekday = text.split()
    star = lambda text: "*" in text
    days, weekdays = field(day, 1, 31), field(weekday, 0, 7, DAYS)
    weekdays = {value % 7 for value in weekdays}
    months = field(month, 1, 12, MONTHS)

    def day_matches(year, month, day):
        date = datetime.date(year, month, day)
        a, b = day in days, date.isoweekday() % 7 in weekdays
        both = star(text.split()[2]) or star(text.split()[4])
        return month in months and (a and b if both else a or b)

    minutes, hours = field(minute, 0, 59), field(hour, 0, 23)
    return minutes, hours, functools.cache(day_matches), not (star(minute) or star(hour))


@functools.cache
def year_of(zone, year):
    """Every UTC minute of the year: when, and what the clock shows, as minutes since 1970."""
    zone = zoneinfo.ZoneInfo(zone)
    begin = int(datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    end = int(datetime.datetime(year + 1, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    walls = []
    for moment in range(begin, end, 60):
        shown = datetime.datetime.fromtimestamp(moment, zone)
        walls.append(moment + int(shown.utcoffset().total_seconds()))
    return begin, [wall // 60 for wall in walls]


def run(zone, year, expression):
    minutes, hours, day_matches, fixed = parse(expression)
    begin, walls = year_of(zone, year)

    @functools.cache
    def on(day):
        shown = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
        return day_matches(shown.year, shown.month, shown.day)

    in_day = [hour in hours and minute in minutes for hour in range(24) for minute in range(60)]

    def matches(wall):
        return in_day[wall % 1440] and on(wall // 1440)

    times, changes, hold = [], [], None
    before = walls[0] - 1
    for index, wall in enumerate(walls):
        moved = wall - before - 1
        due = matches(wall)
        if moved:
            changes.append(begin + 60 * index)
        if moved > 0 and moved < 180 and fixed:
            due = due or any(matches(skipped) for skipped in range(before + 1, wall))
        if moved < 0 and moved > -180:
            hold = before
        if hold is not None and wall > hold:
            hold = None
        if hold is not None and fixed:
            due = False
        if due:
            times.append(begin + 60 * index)
        before = wall
    return {"times": times, "changes": changes}


def main():
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = run(job["zone"], job["year"], job["expression"])
        except (ValueError, TypeError):
            answer = {"refused": True}
        print(json.dumps(answer))


main()
