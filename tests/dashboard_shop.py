"""A warehouse in which every chart of dashboards/ has something to show."""

from datetime import timedelta

from sqlalchemy import Engine

from senti_tasks.warehouse import database
from tests.situations import MONDAY, WEDNESDAY, add_model, add_reviews, annotate, promote, scoring_run

PRODUCTS = {"面馆": 0.2, "酒店": 0.1, "电饭煲": 0.4, "羽绒服": 0.3}
"""The share of negatives of each product; that of the second one is 0.7 in the last two weeks."""
DAYS = 56
REVIEWS_A_DAY = 2


def fill(engine: Engine) -> None:
    """Eight weeks of labelled reviews of four products, some with labels by people, and one that cannot be labelled."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        key = 0
        for product, share in PRODUCTS.items():
            for day in range(DAYS):
                usual = 0.7 if product == "酒店" and day >= DAYS - 14 else share
                texts = {}
                for _ in range(REVIEWS_A_DAY):
                    key += 1
                    texts[key] = "太差，再也不来了" if key * 7 % 10 < usual * 10 else "很好，下次还来"
                written = MONDAY - timedelta(days=DAYS - 1 - day)
                add_reviews(connection, texts, product=product, created_at=written)
                for review, text in texts.items():
                    if review % 3 == 0:
                        annotate(connection, review, int("好" in text) if review % 9 else 0, text)
        add_reviews(connection, {key + 1: " "}, product="面馆", created_at=MONDAY)
    scoring_run(engine)
    with database.writing(engine) as connection:
        add_reviews(connection, {key + 2: "还没有标签"}, product="面馆", now=WEDNESDAY)
