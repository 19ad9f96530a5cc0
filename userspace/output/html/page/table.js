// SPDX-License-Identifier: GPL-2.0-only
// The table of reasons: its columns sort, by mouse and by keyboard. Cells carry their exact value
// in data-value; one without is not known and goes last whichever way is sorted.
"use strict";

const reasonTable = document.getElementById("reason-table");

function cellValue(row, column) {
  const cell = row.cells[column];
  if (column === 0) return cell.textContent;
  return cell.dataset.value === undefined ? undefined : Number(cell.dataset.value);
}

function compareValues(a, b, descending) {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  const order = typeof a === "string" ? a.localeCompare(b, "en") : (a > b) - (a < b);
  return descending ? -order : order;
}

// What is equal stays in the order in which the page came.
function sortTable(heading) {
  const column = Number(heading.dataset.column);
  const descending = heading.ariaSort ? heading.ariaSort === "ascending" : column !== 0;
  for (const other of reasonTable.tHead.querySelectorAll("[aria-sort]")) other.ariaSort = null;
  heading.ariaSort = descending ? "descending" : "ascending";
  const body = reasonTable.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, value: cellValue(row, column) }));
  rows.sort((a, b) => compareValues(a.value, b.value, descending) ||
                      a.row.dataset.place - b.row.dataset.place);
  body.append(...rows.map(({ row }) => row));
}

function makeSortable() {
  [...reasonTable.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
  for (const heading of reasonTable.tHead.querySelectorAll("[data-column]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortTable(heading));
    heading.append(button);
  }
  for (const hint of document.querySelectorAll(".sortable")) hint.hidden = false;
}

makeSortable();
